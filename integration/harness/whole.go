package harness

import (
	"maps"
	"os"
	"slices"
)

// Whole reports whether slow matrices are tried as a whole, with GSX_WHOLE=1, instead of in the
// smaller form of `make test`.
func Whole() bool { return os.Getenv("GSX_WHOLE") == "1" }

// Some returns n cases of a slow matrix: the first, the last, and others at equal distances. It
// returns all if the matrix is tried as a whole.
func Some[T any](n int, all ...T) []T {
	if Whole() || n >= len(all) {
		return all
	}
	var some []T
	for i := range n {
		some = append(some, all[i*(len(all)-1)/max(n-1, 1)])
	}
	return some
}

// SomeOf is Some for a matrix with names, which it sorts.
func SomeOf[V any](n int, all map[string]V) map[string]V {
	some := map[string]V{}
	for _, name := range Some(n, slices.Sorted(maps.Keys(all))...) {
		some[name] = all[name]
	}
	return some
}

// Step is the distance between the points of a long series that are tried: 1 if it is tried as a
// whole, otherwise n.
func Step(n int) int {
	if Whole() {
		return 1
	}
	return n
}

// Pairs returns each of a with each of b.
func Pairs(a, b []string) [][2]string {
	var all [][2]string
	for _, x := range a {
		for _, y := range b {
			all = append(all, [2]string{x, y})
		}
	}
	return all
}
