package config

import (
	"fmt"
	"testing"
)

func TestEngineHost(t *testing.T) {
	const right = `; write "unix:///var/run/docker.sock" or for example "tcp://127.0.0.1:2375"`
	tests := []struct{ host, wrong string }{
		{host: "unix:///run/user@1000/docker.sock"},
		{host: "tcp://engine.example:2376"},
		{host: "tcp://[::1]:2375"},
		{host: "", wrong: `"" is not a unix:// or tcp:// address`},
		{host: "/var/run/docker.sock", wrong: `"/var/run/docker.sock" is not a unix:// or tcp:// address`},
		{host: "ssh://root@host", wrong: `"ssh://root@host" is not a unix:// or tcp:// address`},
		{host: "npipe:////./pipe/docker_engine", wrong: `"npipe:////./pipe/docker_engine" is not a unix:// or tcp:// address`},
		{host: "unix://docker.sock", wrong: `"unix://docker.sock" names no socket by its absolute path`},
		{host: "unix:///", wrong: `"unix:///" names no socket by its absolute path`},
		{host: "tcp://host", wrong: `"tcp://host" lacks a host or a port from 1 to 65535`},
		{host: "tcp://:2375", wrong: `"tcp://:2375" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:0", wrong: `"tcp://host:0" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:65536", wrong: `"tcp://host:65536" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:2375?a=b", wrong: `"tcp://host:2375?a=b" has a part behind ? or #`},
		{host: "tcp://host:port", wrong: `"tcp://host:port" is not an address`},
		{host: "tcp://root:secret@host:2375", wrong: `a user name or password in a tcp address is of no use to the engine`},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			var want []string
			if tt.wrong != "" {
				want = []string{"c.toml:2: engine.host: " + tt.wrong + right}
			}
			wantErrors(t, fmt.Sprintf("[engine]\nhost = %q", tt.host), want...)
		})
	}
}

func TestEngineTimeout(t *testing.T) {
	wantErrors(t, "[engine]\ntimeout = \"0s\"",
		`c.toml:2: engine.timeout: 0s is no time to wait; write for example "2m"`)
}
