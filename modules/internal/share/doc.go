// Package share finds out what the shared storage is and what may be done on
// it, without ever hanging: whatever touches the mount runs in a child process
// that is given up after a deadline. A child in uninterruptible sleep (a dead
// NFS server with a hard mount) is killed and not waited for.
//
// The child is this very binary, started anew as "cidx-share-probe"; package
// initialisation serves it, so that every binary that imports the package,
// test binaries included, can probe. It writes only below a folder
// ".cidx-probe-…" of its own in the probed folder, which it removes again, and
// nothing at all without Writing.
package share

import (
	"time"
)

// Deadline is a good default for one probe: an answer within 10 seconds,
// clean-up included.
const Deadline = 8 * time.Second

// Info is what is known of a share. Fields stay zero where a probe before them
// failed.
type Info struct {
	Mount       Mount    `json:"mount"`
	Mounted     bool     `json:"mounted"`
	BytesTotal  uint64   `json:"bytes_total"`
	BytesFree   uint64   `json:"bytes_free"`   // for an ordinary user, as df shows it
	InodesTotal uint64   `json:"inodes_total"` // 0: the file system does not count them
	InodesFree  uint64   `json:"inodes_free"`
	ReadOnly    bool     `json:"read_only"`
	HardLinks   bool     `json:"hard_links"`
	Granularity int64    `json:"time_granularity"` // of mtimes, in ns; 0: not probed
	Caseless    bool     `json:"caseless"`         // "A" and "a" are one file
	BadNames    []string `json:"bad_names"`        // kinds of names refused: "newline", "not UTF-8", "255 bytes"
	Results     []Result `json:"results"`          // every probe, in order
	Untested    []string `json:"untested"`         // what only a writing probe can tell
	Hung        bool     `json:"hung"`             // a probe got no answer
}

// Result is the outcome of one probe.
type Result struct {
	Name   string `json:"name"` // "statfs", "create", "chown", …
	As     string `json:"as"`   // user: "root", "cidx", "1000"
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // the cause, or a remark
}

// Option changes how Probe works.
type Option func(*request)

// Writing allows probes that create, change and remove files of their own.
func Writing() Option { return func(r *request) { r.Write = true } }

// In probes in a folder below the mount point instead of the mount point
// itself; where it does not exist yet, in its nearest existing parent.
func In(dir string) Option { return func(r *request) { r.Dir = dir } }

// Folder accepts a plain folder that is no mount point. Only tests and sandboxes
// want that: on a server it would fill the root disk.
func Folder() Option { return func(r *request) { r.folder = true } }
