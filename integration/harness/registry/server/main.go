// Server is a registry for the tests: distribution itself, on loopback, with its
// store in a folder and, where a user is given, a password before everything.
//
//	server -dir FOLDER [-listen 127.0.0.1:0] [-user NAME -password PASSWORD]
//
// It prints the address it listens on, in one line, and ends when its standard
// input does: with whoever started it, however that one ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	dir := flag.String("dir", "", "folder of the store")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	user := flag.String("user", "", "the one user")
	password := flag.String("password", "", "the user's password")
	flag.Parse()
	log.SetFlags(0)

	config := &configuration.Configuration{Version: "0.1"}
	logrus.SetOutput(io.Discard) // a line or three for each request
	config.Storage = configuration.Storage{"filesystem": {"rootdirectory": *dir}}
	if *user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(*password), bcrypt.MinCost)
		if err != nil {
			log.Fatal(err)
		}
		file := filepath.Join(*dir, "htpasswd")
		if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", *user, hash), 0o600); err != nil {
			log.Fatal(err)
		}
		config.Auth = configuration.Auth{"htpasswd": {"realm": "test", "path": file}}
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	config.HTTP.Addr = l.Addr().String()
	config.HTTP.Secret = "for tests only"
	app := handlers.NewApp(context.Background(), config)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, app))
}
