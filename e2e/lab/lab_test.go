package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	repo, _ := filepath.Abs("../..")
	s := time.Now()
	l, err := Up(ctx, repo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv("KEEP") == "" {
			if err := l.Down(); err != nil {
				t.Error(err)
			}
		} else {
			time.Sleep(20 * time.Minute)
		}
	})
	fmt.Println("up", time.Since(s), l.Dir)
	if err := l.Fresh(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Println("fresh", time.Since(s))
	c, err := l.Controller("a")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Play(ctx, "cluster-migrate.yml", "-l", "node1")
	fmt.Println(p.Transcript, p.Exit, err, p.Took)
}
