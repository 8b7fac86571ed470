package storage

import (
	"os"
	"testing"
)

// The kernel gives the inode of an image and the number of its loop device to the image of
// another job, which does not count as the first one.
func TestAnotherImageOnTheLoopDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can attach a loop device")
	}
	folder := t.TempDir()
	attached := func() (Image, *os.File) {
		image, err := nameless(folder)
		if err != nil {
			t.Skip(err)
		}
		defer image.Close()
		if err := image.Truncate(1 << 20); err != nil {
			t.Fatal(err)
		}
		device, err := attach(image)
		if err != nil {
			t.Skip(err)
		}
		i, err := imageOf(image, device)
		if err != nil {
			t.Fatal(err)
		}
		return i, device
	}
	first, device := attached()
	if path, err := LoopDevice(first); path != device.Name() || err != nil {
		t.Errorf("%s, %v while it is attached to %s", path, err, device.Name())
	}
	device.Close()
	if path, err := AwaitDetached(t.Context(), first); path != "" || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	for range 100 {
		second, device := attached()
		path, err := LoopDevice(first)
		device.Close()
		if _, wait := AwaitDetached(t.Context(), second); wait != nil {
			t.Fatal(wait)
		}
		if path != "" || err != nil {
			t.Fatalf("the first image is attached to %s: %v; it was %+v, the second is %+v", path, err, first, second)
		}
		if second.Inode == first.Inode && second.Loop == first.Loop {
			return
		}
	}
	t.Log("no image had the inode and the device of the first one")
}
