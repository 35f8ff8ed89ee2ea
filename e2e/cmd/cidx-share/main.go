// Command cidx-share shows a folder at a mount point as a file server across a
// network would: with a delay in front of every operation, or with root squashed.
//
//	cidx-share [-delay 500us] [-squash] [-counters FILE] BACKING MOUNTPOINT
//
// With -squash, root is nobody (65534) there and every user is itself, as an
// export with root_squash has it; the kernel remembers nothing between calls,
// so that every single one is judged by the caller's rights.
//
// It prints "ready" when mounted, and serves until SIGTERM, then unmounts.
// Operations are counted by kind; SIGUSR1 writes the counters to FILE as JSON
// and sets them to zero. Attributes and names are cached by the kernel for 30
// seconds and asking for attributes costs nothing, since the replies of NFS
// carry them. It needs root (it mounts by itself) and /dev/fuse.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	log.SetFlags(0)
	delay := flag.Duration("delay", 0, "what every operation costs")
	squashed := flag.Bool("squash", false, "root is nobody on the share")
	counters := flag.String("counters", "", "file for the counters, written on SIGUSR1")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: cidx-share [-delay d] [-squash] [-counters file] backing mountpoint")
	}
	// A sleeping operation holds a processor of the scheduler: there must be
	// enough of them for all that sleep at once.
	runtime.GOMAXPROCS(128)
	if err := serve(flag.Arg(0), flag.Arg(1), *counters, *delay, *squashed); err != nil {
		log.Fatalf("cidx-share: %v", err)
	}
}

func serve(backing, point, counters string, delay time.Duration, squashed bool) error {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return fmt.Errorf("open %s: %w", backing, err)
	}
	ttl, options := 30*time.Second, []string{"default_permissions"}
	if squashed {
		ttl, options = 0, nil
	}
	files := fs.NewNodeFS(root, &fs.Options{EntryTimeout: &ttl, AttrTimeout: &ttl})
	if squashed {
		if files, err = newSquash(files); err != nil {
			return err
		}
	}
	slow := &slow{RawFileSystem: files, delay: delay}
	server, err := fuse.NewServer(slow, point, &fuse.MountOptions{
		FsName: "cidx-latency", Name: "latency", AllowOther: true, DirectMountStrict: true,
		MaxWrite: 1 << 20, MaxBackground: 128, DisableXAttrs: true, IgnoreSecurityLabels: true,
		Options: options,
		// Reads and writes must pass through here, or they would cost nothing.
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
	})
	if err != nil {
		return fmt.Errorf("mount %s: %w", point, err)
	}
	unmounted := make(chan struct{})
	go func() { server.Serve(); close(unmounted) }()
	if err := server.WaitMount(); err != nil {
		return fmt.Errorf("mount %s: %w", point, err)
	}
	fmt.Println("ready")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	for {
		select {
		case <-unmounted: // by somebody else
			return nil
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				if err := slow.write(counters); err != nil {
					log.Printf("cidx-share: %v", err)
				}
				continue
			}
			// What still has files open there must not keep it mounted for ever.
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", point, err)
			}
			return nil
		}
	}
}

// write tells the counters and starts anew.
func (s *slow) write(path string) error {
	counts := map[string]int64{}
	total := int64(0)
	for i := range s.counts {
		if n := s.counts[i].Swap(0); n > 0 {
			counts[operation(i).String()] = n
			total += n
		}
	}
	counts["total"] = total
	raw, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("encode counters: %w", err)
	}
	if err := os.WriteFile(path+".tmp", raw, 0o600); err != nil {
		return fmt.Errorf("write counters: %w", err)
	}
	return os.Rename(path+".tmp", path)
}
