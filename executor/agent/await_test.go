package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func await(t *testing.T, o AwaitRequest) AwaitResponse {
	t.Helper()
	in, driver := io.Pipe()
	go func() { _ = json.NewEncoder(driver).Encode(Question[AwaitRequest]{Request: o}) }() // and stays connected
	var out bytes.Buffer
	if err := Await(in, &out); err != nil {
		t.Fatal(err)
	}
	var a Answer[AwaitResponse]
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a.Response
}

func TestAwaitAnyAddress(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	r := await(t, AwaitRequest{Addresses: []string{closedPort(t), open.Addr().String()}, Timeout: time.Minute})
	if r.Error != "" {
		t.Error(r.Error)
	}
}

func TestAwaitTellsWhyNot(t *testing.T) {
	r := await(t, AwaitRequest{Addresses: []string{closedPort(t)}, Timeout: 300 * time.Millisecond})
	if !strings.Contains(r.Error, "connection refused") {
		t.Errorf("%q", r.Error)
	}
}

func TestAwaitLateAddress(t *testing.T) {
	address := closedPort(t)
	time.AfterFunc(300*time.Millisecond, func() {
		if l, err := net.Listen("tcp", address); err == nil {
			t.Cleanup(func() { l.Close() })
		}
	})
	if r := await(t, AwaitRequest{Addresses: []string{address}, Timeout: time.Minute}); r.Error != "" {
		t.Error(r.Error)
	}
}

func TestAwaitEndsWithItsInput(t *testing.T) {
	request, err := json.Marshal(AwaitRequest{Addresses: []string{closedPort(t)}, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Await(bytes.NewReader(request), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "error") {
		t.Error(out.String())
	}
}
