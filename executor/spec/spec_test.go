package spec

import (
	"maps"
	"testing"

	"gitlab-sysbox-executor/config"
)

// The default limits on logs must not replace a log driver that the host's administrator has configured.
func TestLogOptions(t *testing.T) {
	byDefault := config.Default().Container
	own := byDefault
	own.LogOptions = []string{"max-size=1m"}
	none := byDefault
	none.LogOptions = nil
	for _, tt := range []struct {
		name   string
		c      config.Container
		driver string
		want   map[string]string
	}{
		{"defaults", byDefault, "json-file", map[string]string{"max-size": "10m", "max-file": "3"}},
		{"defaults beside another driver", byDefault, "journald", nil},
		{"configured", own, "json-file", map[string]string{"max-size": "1m"}},
		{"configured beside another driver", own, "journald", map[string]string{"max-size": "1m"}},
		{"none", none, "json-file", nil},
	} {
		if got := LogOptions(tt.c, tt.driver); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
