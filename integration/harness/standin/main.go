// Standin takes the place of the gitlab-runner program in a job's container, for
// tests on a machine that has none: the few commands that the Runner's scripts
// call, in zip archives and over GitLab's API as the real one does it.
package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in for gitlab-runner:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command")
	}
	if args[0] == "--version" {
		fmt.Println("stand-in for gitlab-runner")
		return nil
	}
	fmt.Println("stand-in:", args[0])
	options := map[string][]string{}
	for i := 1; i+1 < len(args); i += 2 {
		options[args[i]] = append(options[args[i]], args[i+1])
	}
	one := func(name string) string { return append(options[name], "")[0] }
	api := one("--url") + "/api/v4/jobs/" + one("--id") + "/artifacts"
	switch args[0] {
	case "cache-archiver":
		var archive bytes.Buffer
		if err := pack(&archive, options["--path"]); err != nil {
			return err
		}
		// The real one makes the folder passable for its own user alone, too.
		if err := os.MkdirAll(filepath.Dir(one("--file")), 0o700); err != nil {
			return err
		}
		return os.WriteFile(one("--file"), archive.Bytes(), 0o600)
	case "cache-extractor":
		archive, err := os.ReadFile(one("--file"))
		if err != nil {
			return err
		}
		return unpack(archive)
	case "artifacts-uploader":
		return upload(api, one("--token"), options["--path"])
	case "artifacts-downloader":
		archive, err := call(http.MethodGet, api, one("--token"), "", nil)
		if err != nil {
			return err
		}
		// The real one keeps the archive there, and fails without the folder.
		file, err := os.CreateTemp("", "artifacts")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		return unpack(archive)
	}
	return fmt.Errorf("unknown command %s", args[0])
}

func upload(api, token string, paths []string) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "artifacts.zip")
	if err != nil {
		return err
	}
	if err := pack(part, paths); err != nil {
		return err
	}
	if err := form.Close(); err != nil {
		return err
	}
	_, err = call(http.MethodPost, api, token, form.FormDataContentType(), &body)
	return err
}

func call(method, address, token, kind string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequest(method, address, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("JOB-TOKEN", token)
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s", method, address, response.Status)
	}
	return io.ReadAll(response.Body)
}

func pack(to io.Writer, paths []string) error {
	w := zip.NewWriter(to)
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			part, err := w.Create(filepath.ToSlash(path))
			if err == nil {
				_, err = part.Write(text)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func unpack(archive []byte) error {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	for _, f := range r.File {
		part, err := f.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(f.Name, text, 0o666); err != nil {
			return err
		}
	}
	return nil
}
