package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// FuzzLoad reads any file's content, past [Load]'s reading of the file itself.
// What is refused is refused in lines that name the file; what is accepted is
// the same after it was written and read again.
func FuzzLoad(f *testing.F) {
	f.Add(commentedKey.ReplaceAllString(readExample(f), "$1"))
	f.Fuzz(func(t *testing.T, data string) {
		cfg, err := parse("fuzz.toml", data)
		if err != nil {
			if cfg != nil {
				t.Error("a configuration beside an error")
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "fuzz.toml:") {
					t.Errorf("%q does not name the file", line)
				}
			}
			return
		}
		var again bytes.Buffer
		if err := toml.NewEncoder(&again).Encode(cfg); err != nil {
			t.Fatal(err)
		}
		back, err := parse("again.toml", again.String())
		if err != nil {
			t.Fatalf("%v\n%s", err, again.String())
		}
		if !reflect.DeepEqual(back, cfg) {
			t.Errorf("got %+v\nwant %+v", back, cfg)
		}
	})
}
