package storage

import (
	"testing"
	"unsafe"
)

func TestFreeEOFBlocksIsTheKernelsNumber(t *testing.T) {
	if size := unsafe.Sizeof(xfsEOFBlocks{}); size != 128 || xfsFreeEOFBlocks != 0x8080583a {
		t.Errorf("%d bytes, %#x", size, xfsFreeEOFBlocks)
	}
}

func TestUsedOfNeedsAFileSystem(t *testing.T) {
	if _, ok := UsedOf(t.Context(), t.TempDir()); ok {
		t.Error("a folder counts as a file system of its own")
	}
	if used, ok := UsedOf(t.Context(), "/proc"); !ok || used != 0 {
		t.Error(used, ok)
	}
}
