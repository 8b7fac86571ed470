package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// TemplateFolder keeps what mkfs.xfs writes into an empty image: some 300 KiB for
// each size. To write that again takes a tenth of mkfs.xfs's time. The folder may
// be removed at any time.
const TemplateFolder = "/var/cache/gitlab-sysbox-executor"

// piece is a part of an image that is not a hole.
type piece struct {
	Offset int64
	Data   []byte
}

// mostTemplate bounds what is kept: a version of mkfs.xfs that fills its log with
// zeros makes templates that are no gain.
const mostTemplate = 4 << 20

// format makes an empty file system in image, which is new and of its final size.
func (x xfsLoop) format(ctx context.Context, image *os.File, size int64) error {
	path, err := x.template(size)
	if err != nil {
		return err
	}
	if all, err := readTemplate(path); err == nil {
		for _, p := range all {
			if _, err := image.WriteAt(p.Data, p.Offset); err != nil {
				return fmt.Errorf("writing an image in %s: %w", x.folder, err)
			}
		}
		return nil
	}
	if err := x.run(ctx, image); err != nil {
		return err
	}
	if all, err := pieces(image); err == nil {
		_ = writeTemplate(path, all) // the next job makes another try
	}
	return nil
}

// run runs mkfs.xfs. The file is its descriptor 3; a new sparse file needs no
// discarding (-K).
func (x xfsLoop) run(ctx context.Context, image *os.File) error {
	mkfs := exec.CommandContext(ctx, x.mkfs, "-q", "-f", "-K", "-m", "reflink=1", "/proc/self/fd/3")
	mkfs.ExtraFiles = []*os.File{image}
	mkfs.Env = []string{"LC_ALL=C"}
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", x.mkfs, err, bytes.TrimSpace(out))
	}
	return nil
}

// template is the path of the template for a size, made by this very mkfs.xfs.
func (x xfsLoop) template(size int64) (string, error) {
	info, err := os.Stat(x.mkfs)
	if err != nil {
		return "", err
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	return filepath.Join(x.templates, fmt.Sprintf("xfs-%d-%d-%d", size, inode, info.ModTime().UnixNano())), nil
}

// pieces reads what is in a sparse image.
func pieces(image *os.File) (all []piece, err error) {
	sum := int64(0)
	for at := int64(0); ; {
		begin, err := image.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		end, err := image.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		if sum += end - begin; sum > mostTemplate {
			return nil, errors.New("too much for a template")
		}
		p := piece{begin, make([]byte, end-begin)}
		if _, err := image.ReadAt(p.Data, begin); err != nil {
			return nil, err
		}
		all, at = append(all, p), end
	}
}

func readTemplate(path string) (all []piece, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(text) < sha256.Size || sha256.Sum256(text[sha256.Size:]) != [sha256.Size]byte(text) {
		return nil, errors.New("damaged")
	}
	err = gob.NewDecoder(bytes.NewReader(text[sha256.Size:])).Decode(&all)
	return all, err
}

func writeTemplate(path string, all []piece) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(all); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	sum := sha256.Sum256(b.Bytes())
	return renameio.WriteFile(path, append(sum[:], b.Bytes()...), 0o600)
}
