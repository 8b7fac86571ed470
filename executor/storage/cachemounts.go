package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/walk"
)

// CacheMounts is where a project's kept cache mounts are in the containers of a
// job: a folder for each user number, to which links in TMPDIR lead.
const CacheMounts = "/var/cache/gitlab-sysbox-executor"

// CacheFolder is the name that Buildah and Podman give to the folder of cache mounts
// in TMPDIR (1.28), or begin it with: a dash and the user's number follow (1.39).
const CacheFolder = "buildah-cache"

// CacheFolders is what TrimCacheMounts works on.
type CacheFolders struct {
	Folder string // the kept volume on the host
	Limit  int64  // bytes
	DryRun bool
	// OlderThan keeps what was used within this time.
	OlderThan time.Duration
	// Alone keeps containers from getting the volume until release is called; false
	// where one has it.
	Alone func() (release func(), ok bool, err error)
}

// Trimmed is what became of the cache mounts of one volume. Sizes are bytes.
type Trimmed struct {
	Size    int64 // before; of a cache that is too large to be measured that of a part
	Removed int64
	Folders []string // what was removed, or would be: relative to the volume's folder
	Busy    []string // what would have been removed, but a container has the volume
}

// cacheFolder is one that is removed as a whole: a cache's own as Buildah 1.39
// names it, or what 1.28 has at the top of its tree of paths.
type cacheFolder struct {
	parent, name string // parent is "." or a user's folder
	size         int64  // bytes
	used         time.Time
	tooLarge     bool
}

func (f cacheFolder) path() string { return path.Join(f.parent, f.name) }

// Bounds of what is measured of one volume, beyond which a cache, or all of them,
// goes in any case. They are many times what caches of builds have.
var (
	maxCaches   = 10_000
	cacheLimits = walk.Limits{Entries: 2_000_000, Depth: 200}
	// volumeEntries is how many files and folders all caches together may have.
	volumeEntries = 10_000_000
)

// removedPrefix begins the name of what was taken away and is being removed.
const removedPrefix = "removed-"

// TrimCacheMounts removes the cache folders that were used longest ago until the
// rest has at most c.Limit bytes. One that is too large to be measured goes in any
// case, and so do all of a user, or of the volume, where they are too many. One that was
// used within c.OlderThan stays.
//
// What is in the volume was written by jobs, which may be at it now: it is measured and
// removed in bounded memory, and no link is followed out of it. While no container has
// the volume, folders are taken away by a rename each; they are removed afterwards.
// When ctx ends, what was taken away and not removed yet stays for the next time.
func TrimCacheMounts(ctx context.Context, c CacheFolders) (t Trimmed, err error) {
	top, err := walk.Open(c.Folder)
	if err != nil {
		return t, fmt.Errorf("cache mounts: %w", err)
	}
	defer top.Close()
	defer func() {
		if err != nil {
			err = fmt.Errorf("cache mounts in %s: %w", c.Folder, err)
		}
	}()
	if !c.DryRun {
		freed, err := walk.Remove(ctx, top, removedPrefix)
		t.Size, t.Removed = freed, freed
		if err != nil {
			return t, err
		}
	}
	m := measurement{left: volumeEntries}
	if err := m.volume(ctx, top); errors.Is(err, walk.ErrEntries) {
		m.all = []cacheFolder{{parent: ".", name: ".", tooLarge: true}}
	} else if err != nil {
		return t, err
	}
	due := c.due(m.all, &t)
	if len(due) == 0 {
		return t, nil
	}
	if c.DryRun {
		for _, f := range due {
			t.take(f)
		}
		return t, nil
	}
	release, alone, err := c.Alone()
	if err != nil {
		return t, err
	}
	if !alone {
		for _, f := range due {
			t.Busy = append(t.Busy, f.path())
		}
		return t, nil
	}
	err = takeAway(ctx, top, due, &t)
	release()
	_, left := walk.Remove(ctx, top, removedPrefix)
	return t, errors.Join(err, left)
}

func (t *Trimmed) take(f cacheFolder) {
	t.Removed += f.size
	t.Folders = append(t.Folders, f.path())
}

// due are the folders that are to go; the size of all is added to t.Size.
func (c CacheFolders) due(all []cacheFolder, t *Trimmed) []cacheFolder {
	rest := int64(0)
	for _, f := range all {
		rest += f.size
	}
	t.Size += rest
	slices.SortFunc(all, func(a, b cacheFolder) int {
		switch {
		case a.tooLarge != b.tooLarge:
			return map[bool]int{true: -1, false: 1}[a.tooLarge]
		case !a.used.Equal(b.used):
			return a.used.Compare(b.used)
		}
		return cmp.Compare(b.size, a.size) // fewer go then
	})
	var due []cacheFolder
	for _, f := range all {
		if !f.tooLarge && (rest <= c.Limit || f.size == 0 || time.Since(f.used) < c.OlderThan) {
			continue
		}
		due = append(due, f)
		rest -= f.size
	}
	return due
}

// takeAway renames folders to what walk.Remove then removes.
func takeAway(ctx context.Context, top *os.File, due []cacheFolder, t *Trimmed) error {
	for _, f := range due {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := f.takeAway(ctx, top); err != nil {
			return fmt.Errorf("cache mount %q: %w", f.path(), err)
		}
		t.take(f)
	}
	return nil
}

func (f cacheFolder) takeAway(ctx context.Context, top *os.File) error {
	if f.name == "." { // all there is
		_, err := walk.Remove(ctx, top, "")
		return err
	}
	if f.parent == "." {
		return walk.Aside(top, f.name, top, removedPrefix)
	}
	parent, err := walk.OpenIn(top, f.parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer parent.Close()
	return walk.Aside(parent, f.name, top, removedPrefix)
}

// measurement finds out what there is in a volume.
type measurement struct {
	all  []cacheFolder
	left int // entries that may yet be looked at
}

// volume measures all caches; walk.ErrEntries where they are too many.
func (m *measurement) volume(ctx context.Context, top *os.File) error {
	return walk.Names(ctx, top, func(name string) error {
		if strings.HasPrefix(name, removedPrefix) {
			return nil
		}
		if _, err := strconv.ParseUint(name, 10, 32); err == nil {
			if user, err := walk.OpenIn(top, name); err == nil {
				defer user.Close()
				return m.user(ctx, user, name)
			}
		}
		return m.cache(ctx, top, cacheFolder{parent: ".", name: name})
	})
}

// user measures the caches of one user. Where they are too many, the user's folder
// counts as one that is too large.
func (m *measurement) user(ctx context.Context, folder *os.File, number string) error {
	others := len(m.all)
	err := walk.Names(ctx, folder, func(name string) error {
		return m.cache(ctx, folder, cacheFolder{parent: number, name: name})
	})
	if errors.Is(err, walk.ErrEntries) && m.left > 0 && others < maxCaches {
		m.all = append(m.all[:others], cacheFolder{parent: ".", name: number, tooLarge: true})
		return nil
	}
	return err
}

// cache measures size and last use of one. When a file was read is known to the day
// (mount(2), MS_RELATIME); our own look at folders is no use of them.
func (m *measurement) cache(ctx context.Context, parent *os.File, f cacheFolder) error {
	if len(m.all) >= maxCaches || m.left <= 0 {
		return walk.ErrEntries
	}
	now := time.Now()
	add := func(s *unix.Stat_t) {
		m.left--
		bytes := s.Blocks * 512
		isDir := s.Mode&unix.S_IFMT == unix.S_IFDIR
		if s.Nlink > 1 && !isDir {
			bytes /= int64(s.Nlink) // its other names are in the same volume
		}
		f.size += bytes
		used := time.Unix(s.Mtim.Unix())
		if read := time.Unix(s.Atim.Unix()); !isDir && read.After(used) {
			used = read
		}
		if used.After(now) { // whatever a job wrote there
			used = now
		}
		if used.After(f.used) {
			f.used = used
		}
	}
	var s unix.Stat_t
	if err := unix.Fstatat(int(parent.Fd()), f.name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil // a job has just removed it
	}
	add(&s)
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		folder, err := walk.OpenIn(parent, f.name)
		if err != nil {
			return nil
		}
		defer folder.Close()
		limits := cacheLimits
		limits.Entries = max(1, min(limits.Entries, m.left))
		err = walk.Tree(ctx, folder, limits, func(e *walk.Entry) error { add(&e.Stat); return nil })
		f.tooLarge = errors.Is(err, walk.ErrEntries) || errors.Is(err, walk.ErrDepth)
		if err != nil && !f.tooLarge {
			return err
		}
	}
	m.all = append(m.all, f)
	return nil
}
