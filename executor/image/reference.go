package image

import (
	"errors"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/distribution/reference"
)

// maxReference is longer than any name that an engine takes: 255 characters of
// repository, 128 of tag, a digest.
const maxReference = 512

// Check says what is wrong with the name or ID of an image. The text does not
// repeat the name, which anybody may have written.
func Check(ref string) error {
	if len(ref) > maxReference {
		return errors.New("it is too long")
	}
	if IsID(ref) {
		return nil
	}
	_, err := reference.ParseNormalizedNamed(ref)
	if errors.Is(err, reference.ErrNameNotCanonical) || errors.Is(err, reference.ErrNameContainsUppercase) ||
		errors.Is(err, reference.ErrNameTooLong) || errors.Is(err, reference.ErrReferenceInvalidFormat) {
		return err
	}
	if err != nil {
		return reference.ErrReferenceInvalidFormat
	}
	return nil
}

// IsID tells a whole image ID, sha256:... or its number alone, from a name.
func IsID(ref string) bool {
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return false
	}
	_, named := parsed.(reference.Named)
	return !named
}

// spellings are the names by which people call one image: as written, with the
// tag that is meant where none is written, and both in full.
func spellings(ref string) []string {
	all := []string{ref}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil || IsID(ref) {
		return all
	}
	named = reference.TagNameOnly(named)
	all = append(all, reference.FamiliarString(named), named.String())
	if tagged, ok := named.(reference.Tagged); ok {
		plain := reference.TrimNamed(named)
		for _, name := range []string{reference.FamiliarName(plain), plain.Name()} {
			all = append(all, name+":"+tagged.Tag())
			if tagged.Tag() == "latest" {
				all = append(all, name)
			}
		}
	}
	return all
}

// Allowed tells whether patterns allow an image: one matches, and none behind a
// "!" does. Without any but such, all others are allowed. Patterns are those of
// doublestar: * stops at a slash, ** does not.
func Allowed(patterns []string, ref string) bool {
	names := spellings(ref)
	matches := func(pattern string) bool {
		for _, name := range names {
			if ok, err := doublestar.Match(pattern, name); err == nil && ok {
				return true
			}
		}
		return false
	}
	wanted, some := false, false
	for _, p := range patterns {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			if matches(not) {
				return false
			}
			continue
		}
		some = true
		wanted = wanted || matches(p)
	}
	return wanted || !some
}

// Whole is a name with its registry and its tag, as a registry's own tools write
// it. An image's ID is none. The error does not repeat the name.
func Whole(ref string) (string, error) {
	if err := Check(ref); err != nil {
		return "", err
	}
	if IsID(ref) {
		return "", errors.New("it is an image's ID, which no registry knows")
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	return reference.TagNameOnly(named).String(), nil
}

// Repository is the name of an image without its tag.
func Repository(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return named.Name()
}

// repository is registry/path in lower case where that does not matter.
func repository(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return strings.ToLower(reference.Domain(named)) + "/" + reference.Path(named)
}
