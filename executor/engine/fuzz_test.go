package engine

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// A file in a container is either small enough, or is not read.
func FuzzFileInArchive(f *testing.F) {
	add := func(h tar.Header, content string) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h.Size = int64(len(content))
		if w.WriteHeader(&h) == nil {
			_, _ = w.Write([]byte(content)) // a bytes.Buffer returns no error
			_ = w.Close()
		}
		f.Add(b.Bytes())
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "subuid"}, "user:100000:65536\n")
	add(tar.Header{Typeflag: tar.TypeSymlink, Name: "subuid", Linkname: "/etc/shadow"}, "")
	add(tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("x", 300), PAXRecords: map[string]string{"GNU.sparse.major": "1"}}, "x")
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		defer heap.Bounded(t)()
		text, err := fileIn(bytes.NewReader(archive))
		if len(text) > maxFile || err != nil && text != nil {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
}

// Answers about images and containers contain text of their authors. Each text is read
// as both kinds of answer.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"[]", `[{"Id":"a","Names":["/b"],"Created":1,"Labels":{"x":"y","io.gitlab-sysbox-executor.name":"z"}},{}]`, `[{"Labels":{"x":{}}}]`, "[{", "null", `[1]`, `[{"Id":"\ud800"}]`,
		`{"Id": "x", "Other": {"Id": 1}}`, `[{"Id": [1, "\u0022"]}, {}]`, `{"Id": 1, "Id": 2}`, `[1, null]`, `[1e999, {"Id":1e999}]`, "\xff", `{"\u0049d": 1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		checkPick(t, string(text))
		checkContainerList(t, text)
	})
}

func checkContainerList(t *testing.T, text []byte) {
	var out bytes.Buffer
	if slim(bytes.NewReader(text), &out) != nil {
		return
	}
	var whole, slimmed []slimContainer
	if err := json.Unmarshal(out.Bytes(), &slimmed); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&whole) != nil || len(whole) != len(slimmed) {
		t.Fatalf("%q became %q", text, out.String())
	}
	for n, c := range slimmed {
		if c.ID != whole[n].ID || c.Created != whole[n].Created || len(c.Names) != len(whole[n].Names) {
			t.Errorf("%+v became %+v", whole[n], c)
		}
		for name, value := range c.Labels {
			if !strings.HasPrefix(name, LabelPrefix) || whole[n].Labels[name] != value {
				t.Errorf("%+v became %+v", whole[n], c)
			}
		}
	}
}

// The reports of a pull end, with the engine's error or ours.
func FuzzProgress(f *testing.F) {
	for _, text := range []string{
		`{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":2}}` + "\n" + `{"status":"Pull complete","id":"a"}`,
		`{"errorDetail":{"code":401,"message":"denied"},"error":"denied"}`, `{"status":`, "[]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		reports := 0
		err := eachProgress(bytes.NewReader(text), func(p Progress) {
			if reports++; len(p.Layer)+len(p.Status) > mostOfPull {
				t.Errorf("a report of %d bytes", len(p.Layer)+len(p.Status))
			}
		})
		if reports > len(text)/2 || err == nil && len(bytes.TrimSpace(text)) > 0 && reports == 0 {
			t.Errorf("%d reports of %.100q, %v", reports, text, err)
		}
	})
}
