// Package ports finds ports for the servers of tests.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range lies below the kernel's own for outgoing connections, of which tests
// make many: a server that is not started yet, or was stopped, finds its port free.
const first, last = 20000, 32000

// Free finds n loopback ports that nobody uses and that no other test was given:
// its server may not listen yet, or be stopped for a while.
func Free(n int) ([]int, error) {
	var list []int
	for range 1000 {
		port := first + rand.IntN(last-first)
		if !unused(port) || !reserve(port) {
			continue
		}
		if list = append(list, port); len(list) == n {
			return list, nil
		}
	}
	return nil, fmt.Errorf("find free port between %d and %d: all are in use", first, last)
}

func unused(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// reserved keeps what reserve holds from being collected, which would close it.
var reserved sync.Map

// reserve takes the port for this process until it ends. The sign is an
// abstract socket, which the kernel gives to one process of the machine, and
// which leaves nothing behind (unix(7)).
func reserve(port int) bool {
	l, err := net.Listen("unix", "@cidx-sandbox-port-"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	reserved.Store(port, l)
	return true
}
