package agentprogram

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"gitlab-sysbox-executor/executor/containerdir"
)

func TestWrite(t *testing.T) {
	self, err := os.ReadFile(containerdir.Self)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ embedded, want []byte }{
		"embedded": {[]byte("program"), []byte("program")},
		"itself":   {nil, self},
	} {
		t.Run(name, func(t *testing.T) {
			program = c.embedded
			path := filepath.Join(t.TempDir(), "container")
			d, err := containerdir.Make(path)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := Write(d, "agent"); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(path, "agent"))
			if err != nil || !bytes.Equal(text, c.want) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			if info, err := os.Stat(filepath.Join(path, "agent")); err != nil || info.Mode() != 0o755 {
				t.Error(info, err)
			}
		})
	}
}
