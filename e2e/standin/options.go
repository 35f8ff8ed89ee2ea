package standin

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Version is the CIDX release whose behaviour is imitated.
const Version = "11.79.0"

// Options say how one server runs. Home is required; the zero value of everything else is a quiet, faultless server,
// except that it writes whenever WriteInterval is set and Quiet is not.
type Options struct {
	Home           string        // the server's data directory
	Listen         string        // host:port; "" takes applied_launch.json, launch.json, then 127.0.0.1:8000
	WriteInterval  time.Duration // pace of a standalone server's own writes; 0: none
	StartupDelay   time.Duration // added before the port is bound
	Quiet          bool          // no writes of its own at all
	Refresh        bool          // standalone: make a new snapshot every now and then
	IndexChildren  time.Duration // standalone: pace of the rows that index children write where config.json says by then; 0: none
	RealStart      bool          // cluster: leave and destroy all that a real start does; false: only what a migration needs to see
	EndUnclean     string        // mode in which a stop ends like a kill: standalone, cluster or both; "": none
	Reap           bool          // deactivate repositories idle for 30 days, or without last_accessed
	VolumeDegraded int           // percent of the golden-repos volume that make the health degraded; 0: off
	VolumeSick     int           // percent that make it unhealthy; 0: off
	Faults         Faults
	FaultsFile     string    // lines "<fault flag> [value]", read at each start; absent: none
	FaultsIn       string    // "cluster" or "standalone" confines faults to one mode; "": both
	Log            io.Writer // nil: stderr
	Ready          io.Writer // gets "ok <address>\n" once the port is bound
}

// Faults are what a test can break.
type Faults struct {
	FailStart    bool          // die at the end of the start, after all seeding and clean-ups
	NeverHealthy bool          // answer, but 503 at /healthz for ever
	LoseRepos    int           // leave out this many golden repositories of every listing
	SlowStart    time.Duration // as StartupDelay
	NoEmbeddings bool          // semantic search fails, as without internet
	BusyCPU      int           // percent of CPU that have been used for more than a minute: /healthz says 503 although all works
}

// set applies one "name value" pair, spelt as the flag of the same name.
func (f *Faults) set(name, value string) error {
	var err error
	switch name {
	case "fail-start":
		f.FailStart = true
	case "never-healthy":
		f.NeverHealthy = true
	case "no-embeddings":
		f.NoEmbeddings = true
	case "lose-repos":
		_, err = fmt.Sscanf(value, "%d", &f.LoseRepos)
	case "busy-cpu":
		_, err = fmt.Sscanf(value, "%d", &f.BusyCPU)
	case "slow-start":
		f.SlowStart, err = time.ParseDuration(value)
	default:
		err = fmt.Errorf("unknown fault %q", name)
	}
	return err
}

// activeFaults adds the faults file to the flags; none apply outside the mode they are confined to.
func (o Options) activeFaults(cluster bool) (Faults, error) {
	if (o.FaultsIn == "cluster" && !cluster) || (o.FaultsIn == "standalone" && cluster) {
		return Faults{}, nil
	}
	f := o.Faults
	if o.FaultsFile == "" {
		return f, nil
	}
	file, err := os.Open(o.FaultsFile)
	if os.IsNotExist(err) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read faults: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if name == "" {
			continue
		}
		if err := f.set(name, strings.TrimSpace(value)); err != nil {
			return f, fmt.Errorf("read faults: %q: %w", lines.Text(), err)
		}
	}
	return f, lines.Err()
}
