package mirror

import (
	"cmp"
	"context"
	"iter"

	"cidx-cluster/modules/internal/tree"
)

// makeAhead sends the folders of the plan, made on the share, in windows of so
// many that all workers have their share.
func (p *pass) makeAhead(ctx context.Context, windows chan<- []*folder) error {
	var window []*folder
	var weight, size int64
	send := func(last bool) error {
		if err := p.makeFolders(ctx, window); err != nil {
			return err
		}
		p.made.Store(last)
		select {
		case windows <- window:
		case <-ctx.Done():
			return ctx.Err()
		}
		window, weight, size = nil, 0, 0
		return nil
	}
	for f, err := range p.scan.plan.folders() {
		if err != nil {
			return err
		}
		window = append(window, f)
		weight += f.weight()
		size += int64(len(f.state))
		if weight >= 2*int64(p.Workers)*p.portion() || size >= cmp.Or(p.Window, largeWindow) {
			if err := send(false); err != nil {
				return err
			}
		}
	}
	return send(true)
}

// Weights of a chunk: measured, a small file costs as much as some 256 KB, and on
// a local disk the start of a process as much as some hundred files.
const (
	bytesPerFile = 256 << 10
	smallChunk   = 64
	localChunk   = 1000
	largeChunk   = 4000
	largeWindow  = 1 << 20   // bytes of the plan, which take some eight times that where they are at work
	largePortion = 256 << 10 // of them
)

func (f *folder) weight() int64 { return 2*f.files + f.bytes/bytesPerFile + 1 }

// portion is the weight of what one process gets.
func (p *pass) portion() int64 {
	least := int64(localChunk)
	if p.Network {
		least = smallChunk
	}
	return min(largeChunk, max(least, p.scan.weight/int64(3*p.Workers)))
}

// portion is work for one process: some folders, or a big file in one.
type portion struct {
	folders []*folder
	big     *big
}

// portions groups neighbouring folders into portions of about the same work. The
// big files of a window come first: their folders wait for them.
func (p *pass) portions(ctx context.Context, windows <-chan []*folder) iter.Seq2[portion, error] {
	return func(yield func(portion, error) bool) {
		for folders := range windows {
			for _, f := range folders {
				list, err := f.large()
				if err != nil {
					yield(portion{}, err)
					return
				}
				f.big = list
				for _, b := range f.big {
					if !yield(portion{[]*folder{f}, b}, nil) {
						return
					}
				}
			}
			var weight, size int64
			start := 0
			for i, f := range folders {
				weight += f.weight()
				size += int64(len(f.state))
				if weight < p.portion() && size < largePortion && i < len(folders)-1 {
					continue
				}
				if !yield(portion{folders: folders[start : i+1]}, ctx.Err()) {
					return
				}
				start, weight, size = i+1, 0, 0
			}
		}
	}
}

// large are the big files of a folder.
func (f *folder) large() (list []*big, err error) {
	var now *tree.Dir
	for entry, s := range f.special {
		if !s.big {
			continue
		}
		if now == nil {
			if now, err = f.now(); err != nil {
				return nil, err
			}
		}
		list = append(list, &big{name: now.Entries[entry].Name, done: make(chan struct{})})
	}
	return list, nil
}
