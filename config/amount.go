package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Amount is a limit on disk space: a [Size], or a percentage of the disk. The zero Amount
// sets no limit.
//
// In the file it is a string such as "20%", or a Size other than "unlimited".
type Amount struct {
	Size    Size
	Percent float64 // from 0 to 100; if 0, Size counts
}

// Of returns the amount in bytes on a disk of that size, 0 for no limit. A disk of 0 or
// less is of unknown size: a percentage of it sets no limit.
func (a Amount) Of(disk int64) int64 {
	switch {
	case a.Percent <= 0:
		return int64(a.Size)
	case disk <= 0:
		return 0
	}
	return max(1, int64(float64(disk)/100*a.Percent))
}

// UnmarshalTOML takes a string or an integer; its errors show a correct value.
func (a *Amount) UnmarshalTOML(value any) error {
	text, ok := value.(string)
	number, share := strings.CutSuffix(text, "%")
	if !ok || !share {
		var size Size
		if err := size.UnmarshalTOML(value); err != nil {
			return fmt.Errorf(`%w, or a share of the disk such as "20%%"`, err)
		}
		if size < 0 {
			return fmt.Errorf(`%q is not an amount; write for example "20%%" or "100GiB", or 0 for any`, size)
		}
		*a = Amount{Size: size}
		return nil
	}
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(percent) || percent <= 0 || percent > 100 {
		return fmt.Errorf(`%q is not a share of the disk from above 0%% to 100%%; write for example "20%%"`, text)
	}
	*a = Amount{Percent: percent}
	return nil
}

// String returns text from which a can be read again.
func (a Amount) String() string {
	if a.Percent > 0 {
		return strconv.FormatFloat(a.Percent, 'f', -1, 64) + "%"
	}
	return a.Size.String()
}

// MarshalText is [Amount.String]; it never fails.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
