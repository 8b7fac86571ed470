// Package format formats values for users.
package format

import "github.com/docker/go-units"

// Bytes formats a number of bytes with a binary unit, such as 1.5GiB.
func Bytes[N int | int64 | float64](n N) string { return units.BytesSize(float64(n)) }
