package shared

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// Generation is one version of the store.
type Generation struct {
	Number  int                   `json:"generation"`
	Volume  string                `json:"volume"`
	Drivers []string              `json:"drivers"`
	Users   []int                 `json:"users"` // including root
	Images  []storage.StoredImage `json:"images"`
	Made    time.Time             `json:"made"`
	// Filled is when the store was last filled from nothing. Each later generation began as a
	// copy of the one before it.
	Filled time.Time `json:"filled"`
}

// Stores are the stores that a container sees.
func (g Generation) Stores() storage.Stores {
	return storage.Stores{Drivers: g.Drivers, Users: g.Users}
}

// StoreOf is the path of a user's store in a container, for a user as an image or a job writes it.
// Only root and numbers are recognised, because the container's user database is not read. It is
// empty for other users, and if there are no images.
func (g Generation) StoreOf(driver, user string) string {
	if job.IsRoot(user) {
		return g.Stores().For(driver, 0)
	}
	name, _, _ := strings.Cut(user, ":")
	if uid, err := strconv.Atoi(name); err == nil {
		return g.Stores().For(driver, uid)
	}
	return ""
}

// Report logs which of its images a user's programs find, with the job's storage settings.
func (g Generation) Report(log logrus.FieldLogger, s storage.Settings, uid int) {
	switch {
	case g.Volume == "":
	case s.ImageStore == "":
		log.Infof("The shared images are not available to user %d with the storage driver %s (images.users).", uid, s.Driver)
	default:
		log.Infof("Shared images: generation %d, %d images.", g.Number, len(g.Images))
	}
}

// References are the names of its images.
func (g Generation) References() []string {
	var all []string
	for _, i := range g.Images {
		all = append(all, i.Reference)
	}
	return all
}

// Has reports whether the generation has this image.
func (g Generation) Has(reference string) bool { return slices.Contains(g.References(), reference) }

// Same reports whether jobs would see the same images.
func (g Generation) Same(as Generation) bool {
	return slices.Equal(g.Images, as.Images) && slices.Equal(g.Drivers, as.Drivers) && slices.Equal(g.Users, as.Users)
}

// ID distinguishes the generations of this state folder from others on the engine. It is the value
// of job.LabelImages.
func (s *Store) ID() string {
	if id := s.State.ImagesID(); id != "" {
		return id
	}
	return s.pathID()
}

// pathID is the ID of older versions. With it, two executors in containers, with state folders at
// the same path, removed each other's generations.
func (s *Store) pathID() string {
	sum := sha256.Sum256([]byte(s.State))
	return hex.EncodeToString(sum[:4])
}

// SettleID gives the state folder a random ID once the store has no generations with the path's
// ID. The caller has the lock of the store.
func (s *Store) SettleID(current Generation) error {
	if s.State.ImagesID() != "" || current.Volume != "" {
		return nil
	}
	// The generations of this store have a lock file here. Those of another executor with the same
	// path do not.
	for _, path := range s.locks() {
		if s.number(filepath.Base(path)) != 0 {
			return nil
		}
	}
	if err := s.State.MakeImagesID(); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// volume is the name of a generation's volume.
func (s *Store) volume(number int) string { return volumeOf(s.ID(), number) }

func volumeOf(id string, number int) string { return fmt.Sprintf("gsx-images-%s-%d", id, number) }

// number is the number of a generation of this store, from its volume's name; otherwise 0.
func (s *Store) number(volume string) int { return numberOf(volume, s.ID()) }

func numberOf(volume, id string) int {
	text, ok := strings.CutPrefix(volume, "gsx-images-"+id+"-")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || volumeOf(id, n) != volume {
		return 0
	}
	return n
}
