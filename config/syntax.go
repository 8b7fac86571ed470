package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntax notes why the file is not TOML; the parser stops at the first fault.
func (k *checker) syntax(err error) {
	var at toml.ParseError
	if !errors.As(err, &at) {
		k.fault("", 0, err.Error())
		return
	}
	what := at.Message
	// "Key … has already been defined." holds names only; of other messages
	// some hold the value up to the fault.
	if mayBeSecret(at.LastKey) && !strings.HasPrefix(what, "Key ") {
		what = fmt.Sprintf("not TOML from column %d on; what was found may be secret and is not shown", at.Position.Col)
	}
	if at.LastKey != "" {
		what = at.LastKey + ": " + what
	}
	// An unexpected end of an empty first line is given as line 0, and a
	// message may quote a line break.
	k.fault("", max(at.Position.Line, 1), strings.ReplaceAll(what, "\n", `\n`))
}

// mayBeSecret tells the keys tagged secret, and those of which we know nothing.
func mayBeSecret(key string) bool {
	if key == "" {
		return false
	}
	return !slices.ContainsFunc(fieldsOf(reflect.TypeFor[Config](), ""), func(f keyField) bool {
		return f.key == key && f.Tag.Get("secret") != "true"
	})
}
