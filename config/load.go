package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Load reads the file at path, or at [DefaultPath] if path is "". If a file named by path is
// missing, that is an error; a missing default file means [Default]. If the file does not
// name the engine, the environment does, as for the Docker CLI.
//
// An error of [os.ReadFile] is wrapped. Faults in the file are reported together, one in each
// line:
//
//	config.toml:12: storage.tmpdir: "tmp" is not an absolute path; write for example "/gsx/tmp"
func Load(path string) (*Config, error) {
	if path == "" {
		return loadIfThere(DefaultPath)
	}
	return load(path)
}

func loadIfThere(path string) (*Config, error) {
	cfg, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return read(path, "", os.Getenv)
	}
	return cfg, err
}

func load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return read(path, string(data), os.Getenv)
}

// read reads data over the defaults. The engine may also come from the environment; file is
// the name for errors.
func read(file, data string, getenv func(string) string) (*Config, error) {
	cfg, k := Default(), newChecker(file)
	if decode(data, cfg, k) {
		cfg.Engine.complete(k, getenv)
		cfg.check(k)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	return cfg, nil
}
