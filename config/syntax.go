package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntax records why the file is not TOML; the parser stops at the first fault.
func (k *checker) syntax(err error) {
	var at toml.ParseError
	if !errors.As(err, &at) {
		k.fault("", 0, err.Error())
		return
	}
	what := at.Message
	// "Key … has already been defined." contains names only. Some other messages contain the
	// value up to the fault.
	if mayBeSecret(at.LastKey) && !strings.HasPrefix(what, "Key ") {
		what = fmt.Sprintf("not TOML from column %d on; the text may be secret and is not shown", at.Position.Col)
	}
	if at.LastKey != "" {
		what = at.LastKey + ": " + what
	}
	// The parser reports an unexpected end of an empty first line as line 0, and a message may
	// quote a line break.
	k.fault("", max(at.Position.Line, 1), strings.ReplaceAll(what, "\n", `\n`))
}

// mayBeSecret reports whether a key has the tag secret or is unknown.
func mayBeSecret(key string) bool {
	if key == "" {
		return false
	}
	return !slices.ContainsFunc(fieldsOf(reflect.TypeFor[Config](), ""), func(f keyField) bool {
		return f.key == key && f.Tag.Get("secret") != "true"
	})
}
