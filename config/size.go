package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/go-units"
)

// Size is a number of bytes, or [Unlimited] for some keys.
//
// In the file it is an integer number of bytes, or a string with a binary unit in docker's
// notation: "512m", "1.5g" and "20GiB", where m, MB and MiB are the same 1048576 bytes.
type Size int64

// Unlimited is "unlimited" or "-1" in the file.
const Unlimited Size = -1

// largestSize is 8 PiB, the largest number that go-units computes exactly: it uses floating
// point.
const largestSize = 8 * units.PiB

// UnmarshalTOML takes a string or an integer; its errors show a correct value.
func (s *Size) UnmarshalTOML(value any) error {
	switch value := value.(type) {
	case int64:
		if value < int64(Unlimited) || value > largestSize {
			return fmt.Errorf(`%d is not a size from 0 to 8PiB; write for example "20GiB"`, value)
		}
		*s = Size(value)
		return nil
	case string:
		size, err := parseSize(value)
		if err != nil {
			return err
		}
		*s = size
		return nil
	}
	return fmt.Errorf(`found %s; write bytes as a whole number, or a string such as "20GiB"`, describe(value))
}

func parseSize(text string) (Size, error) {
	if text == "unlimited" || text == "-1" {
		return Unlimited, nil
	}
	n, err := units.RAMInBytes(text)
	// Beyond int64 the result of the conversion depends on the platform; both are caught.
	if err == nil && (n < 0 || n > largestSize) {
		err = errors.New("out of range")
	}
	// Less than one byte would become 0, which means no limit.
	if err == nil && n == 0 && strings.ContainsAny(text, "123456789") {
		err = errors.New("less than a byte")
	}
	if err != nil {
		return 0, fmt.Errorf(`%q is not a size from 0 to 8PiB; write for example "20GiB"`, text)
	}
	return Size(n), nil
}

// String returns the exact size in the largest unit that divides s; s can be read from it
// again.
func (s Size) String() string {
	if s == Unlimited {
		return "unlimited"
	}
	for _, unit := range []struct {
		bytes Size
		name  string
	}{{units.PiB, "PiB"}, {units.TiB, "TiB"}, {units.GiB, "GiB"}, {units.MiB, "MiB"}, {units.KiB, "KiB"}} {
		if s != 0 && s%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", s/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// MarshalText is [Size.String]; it never fails.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
