package harness

import (
	"context"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/statedir"
)

// Kept gives what the product itself says and does about volumes that are kept.
func (p *Place) Kept(t testing.TB) *kept.Store {
	t.Helper()
	e, err := engine.New(World.Engine.Host, time.Minute, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	dir := statedir.Dir(p.StateDir)
	return &kept.Store{State: dir, Engine: e, Local: true, Disks: kept.Disks{State: dir, Folder: dir.Volumes()}}
}

// KeptVolumes are those that jobs with this state folder used.
func (p *Place) KeptVolumes(t testing.TB) []kept.Volume {
	t.Helper()
	all, err := p.Kept(t).List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var ours []kept.Volume
	for _, k := range all {
		if !k.LastUse.IsZero() {
			ours = append(ours, k)
		}
	}
	return ours
}

func (p *Place) removeKept(t testing.TB) {
	for _, k := range p.KeptVolumes(t) {
		if gone, err := p.Kept(t).Remove(context.Background(), k, false); err != nil || !gone {
			t.Errorf("%s: gone %v, %v", k.Name, gone, err)
		}
	}
}

// RemoveDisks removes the storage volumes that are kept in a folder.
func (p *Place) RemoveDisks(t testing.TB, folder string) {
	t.Helper()
	s := p.Kept(t)
	s.Disks.Folder = folder
	all, err := s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Kind != kept.Storage {
			continue
		}
		if gone, err := s.Remove(context.Background(), v, false); err != nil || !gone {
			t.Errorf("%s: gone %v, %v", v.Name, gone, err)
		}
	}
}
