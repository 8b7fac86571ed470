package app

import (
	"testing"

	"gitlab-sysbox-executor/config"
)

func TestCacheMountsAreKeptOnRequest(t *testing.T) {
	cfg := config.Default()
	if n := cacheMounts(cfg); n != 0 {
		t.Errorf("got %d bytes without the request", n)
	}
	cfg.Storage.CacheMounts = "project"
	if n := cacheMounts(cfg); n != 10<<30 {
		t.Errorf("got %d bytes with it", n)
	}
}
