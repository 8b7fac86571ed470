package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestPick(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{}`, `{}`},
		{`{"Id": "x"}`, `{"Id":"x"}`},
		{` { "Other" : {"Id": "no"}, "Id" : "sha256:1", "Size": 12 } `, `{"Id":"sha256:1","Size":12}`},
		{`{"Labels": {"a": "\"}]{\\", "b": ["Id", {"Id": 1}]}, "Id": "x"}`, `{"Id":"x"}`},
		{`{"Id": null, "Size": -1.5e3, "More": true}`, `{"Id":null,"Size":-1.5e3}`},
		{`{"Id": ["a, b", {"c": "d"}], "IdX": 1}`, `{"Id":["a, b",{"c":"d"}]}`},
		{`[{"Id": "x", "Labels": {}}, 5, "y", [1, {"Id": 2}], {"Labels": null}, {"Id": "z"}]`, `[{"Id":"x"},{},{"Id":"z"}]`},
		{`[]`, `[]`},
		{`null`, `null`},
		{`"text"`, `"text"`},
	} {
		got, err := pick(strings.NewReader(tt.text), 1000, "Id", "Size")
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{``, `{`, `{"Id`, `{"Id":`, `{"Id": "x"`, `[`, `[{`, `{5: 6}`, `{"Id" "x"}`, `{"Other": }`, `{"a":"\`} {
		if got, err := pick(strings.NewReader(text), 1000, "Id"); err == nil {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Unwanted members take no memory, and wanted members are limited in size.
func TestPickIsBounded(t *testing.T) {
	long := func() io.Reader { return io.LimitReader(repeat("x"), 8<<20) }
	text := io.MultiReader(strings.NewReader(`[{"`), long(), strings.NewReader(`": "`), long(), strings.NewReader(`", "Id": "1", "Labels": [`), io.LimitReader(repeat("[]"), 8<<20), strings.NewReader(`]}]`))
	allocated := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			got, err := pick(text, 1000, "Id")
			if b.N == 1 && (err != nil || string(got) != `[{"Id":"1"}]`) {
				t.Errorf("%.100s, %v", got, err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("%d bytes allocated", allocated)
	}
	if got, err := pick(io.MultiReader(strings.NewReader(`{"Id": "`), long()), 1000, "Id"); !IsTooLarge(err) {
		t.Errorf("%.100s, %v", got, err)
	}
	if got, err := pick(io.MultiReader(strings.NewReader(`[`), io.LimitReader(repeat(`{},`), 1<<20)), 1000, "Id"); !IsTooLarge(err) {
		t.Errorf("%.100s, %v", got, err)
	}
}

// repeat is a reader that repeats a text.
type repeat string

func (r repeat) Read(p []byte) (int, error) {
	n := len(p) / len(r) * len(r)
	for i := range p[:n] {
		p[i] = r[i%len(r)]
	}
	if n == 0 {
		return 0, fmt.Errorf("%d bytes are too few", len(p))
	}
	return n, nil
}

// checkPick compares pick with a decoder that reads everything.
func checkPick(t *testing.T, text string) {
	got, err := pick(strings.NewReader(text), 1<<20, "Id", "RepoTags")
	if !json.Valid([]byte(text)) {
		return // it is enough that pick does not crash
	}
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	all, picked := decoded(t, []byte(text)), decoded(t, got)
	if strings.Contains(text, `\u`) {
		return // the text escapes a member name, which no engine does
	}
	if want := only(all); !reflect.DeepEqual(picked, want) {
		t.Errorf("%q: got %v, want %v", text, picked, want)
	}
}

// decoded keeps numbers as they are written: one may be larger than Go's.
func decoded(t *testing.T, text []byte) (all any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return all
}

// only keeps the same members of decoded JSON.
func only(all any) any {
	object := func(o map[string]any) map[string]any {
		maps.DeleteFunc(o, func(name string, _ any) bool { return name != "Id" && name != "RepoTags" })
		return o
	}
	switch all := all.(type) {
	case map[string]any:
		return object(all)
	case []any:
		return slices.DeleteFunc(all, func(e any) bool {
			o, is := e.(map[string]any)
			if is {
				object(o)
			}
			return !is
		})
	}
	return all
}
