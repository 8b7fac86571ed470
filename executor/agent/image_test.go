package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The first process takes what the image's own process has written, where the request names nothing else.
func TestImageFacts(t *testing.T) {
	t.Chdir("/usr")
	file := filepath.Join(t.TempDir(), "facts")
	go func() { // the other container comes later
		time.Sleep(50 * time.Millisecond)
		if err := Image(file); err != nil {
			t.Error(err)
		}
	}()
	o := InitRequest{Facts: file}
	if err := o.readFacts(nil); err != nil || !strings.HasPrefix(o.User+":", strconv.Itoa(os.Getuid())+":") || o.WorkingDir != "/usr" {
		t.Errorf("%+v, %v", o, err)
	}
	o = InitRequest{Setup: Setup{User: "builder"}, WorkingDir: "/srv", Facts: file}
	if err := o.readFacts(nil); err != nil || o.User != "builder" || o.WorkingDir != "/srv" {
		t.Errorf("%+v, %v", o, err)
	}
	stop := make(chan os.Signal, 1)
	stop <- syscall.SIGTERM
	if _, err := awaitFacts(file+".absent", stop); !errors.Is(err, errStopped) {
		t.Errorf("stopped while it waits: %v", err)
	}
}

func TestHostileImageFacts(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"user":"0","working_dir":"/"}`: true, `{"user":"1000:50","working_dir":"/srv"}`: true,
		"": false, "{}": false, `{"user":"root","working_dir":"/"}`: false, `{"user":"1:2:3","working_dir":"/"}`: false, `{"user":"-1","working_dir":"/"}`: false,
		`{"user":"1:","working_dir":"/"}`: false, `{"user":"4294967296","working_dir":"/"}`: false, `{"user":"0","working_dir":"srv"}`: false,
		`{"user":"0","working_dir":"/` + strings.Repeat("x", longestFacts) + `"}`: false,
	} {
		f, err := ReadImage([]byte(text))
		if (err == nil) != ok || !ok && f != (ImageFacts{}) && len(text) < 100 || err != nil && len(err.Error()) > 200 {
			t.Errorf("%.40q: %+v, %.300v", text, f, err)
		}
	}
}
