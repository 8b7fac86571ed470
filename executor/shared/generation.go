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

// Generation is one state of the store.
type Generation struct {
	Number  int                   `json:"generation"`
	Volume  string                `json:"volume"`
	Drivers []string              `json:"drivers"`
	Users   []int                 `json:"users"` // root is one of them
	Images  []storage.StoredImage `json:"images"`
	Made    time.Time             `json:"made"`
}

// Stores are those that a container sees of it.
func (g Generation) Stores() storage.Stores {
	return storage.Stores{Drivers: g.Drivers, Users: g.Users}
}

// StoreOf is where a container sees the images for a user as an image or a job names
// it. Only root and numbers are known without looking into the container: it is empty
// for other users, and where there are no images.
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

// Report logs which of its images a user's tools find, with the job's storage settings.
func (g Generation) Report(log logrus.FieldLogger, s storage.Settings, uid int) {
	switch {
	case g.Volume == "":
	case s.ImageStore == "":
		log.Infof("The images that all jobs share are not kept for user %d with the storage driver %s (images.users).", uid, s.Driver)
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

// Has says whether it has an image of that name.
func (g Generation) Has(reference string) bool { return slices.Contains(g.References(), reference) }

// Same says whether jobs would see the same.
func (g Generation) Same(as Generation) bool {
	return slices.Equal(g.Images, as.Images) && slices.Equal(g.Drivers, as.Drivers) && slices.Equal(g.Users, as.Users)
}

// ID tells the generations of this state folder from another's on the engine. It is
// the value of job.LabelImages.
func (s *Store) ID() string {
	if id := s.State.ImagesID(); id != "" {
		return id
	}
	return s.pathID()
}

// pathID is what older versions used. Two executors in containers, with their state
// folders at the same path, removed each other's generations.
func (s *Store) pathID() string {
	sum := sha256.Sum256([]byte(s.State))
	return hex.EncodeToString(sum[:4])
}

// SettleID gives the state folder a random ID once nothing is left of a store that
// goes by the path's. The caller has the lock of the store.
func (s *Store) SettleID(current Generation) error {
	if s.State.ImagesID() != "" || current.Volume != "" {
		return nil
	}
	// Our own generations have a lock here, those of another executor with the same path
	// have not.
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

// number is that of a generation of ours, by its volume's name; else 0.
func (s *Store) number(volume string) int { return numberOf(volume, s.ID()) }

func numberOf(volume, id string) int {
	text, ok := strings.CutPrefix(volume, "gsx-images-"+id+"-")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || volumeOf(id, n) != volume {
		return 0
	}
	return n
}
