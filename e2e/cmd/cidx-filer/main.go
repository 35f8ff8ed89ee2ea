// Command cidx-filer shows a folder at a mount point, as a file server does.
//
//	cidx-filer [-squash] BACKING MOUNTPOINT
//
// It prints "ready" when mounted, and serves until SIGTERM, then unmounts. With
// -squash it is an export with root_squash: what root asks for is done as user
// and group 65534, with their rights. SIGSTOP makes it hang as a dead server
// behind a hard mount does: every call waits until SIGCONT, or until its
// process is killed. It needs root (it mounts by itself) and /dev/fuse.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	log.SetFlags(0)
	squash := flag.Bool("squash", false, "take root for user and group 65534")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: cidx-filer [-squash] backing mountpoint")
	}
	if err := serve(flag.Arg(0), flag.Arg(1), *squash); err != nil {
		log.Fatalf("cidx-filer: %v", err)
	}
}

func serve(backing, point string, squash bool) error {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return fmt.Errorf("open %s: %w", backing, err)
	}
	ttl := time.Second
	files := fs.NewNodeFS(root, &fs.Options{EntryTimeout: &ttl, AttrTimeout: &ttl})
	options := fuse.MountOptions{
		FsName: "filer:" + backing, Name: "filer", AllowOther: true, DirectMountStrict: true, DisableXAttrs: true, IgnoreSecurityLabels: true,
		Options: []string{"default_permissions"},
	}
	if squash {
		// The rights of whoever asks are those of the thread that serves: the
		// groups of this process must not add to them.
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("give up groups: %w", err)
		}
		files, options.Options = squashed{files}, nil
	}
	server, err := fuse.NewServer(files, point, &options)
	if err != nil {
		return fmt.Errorf("mount %s: %w", point, err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return fmt.Errorf("mount %s: %w", point, err)
	}
	fmt.Println("ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	// What still has files open there must not keep it mounted for ever.
	if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}
