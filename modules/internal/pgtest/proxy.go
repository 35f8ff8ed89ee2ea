package pgtest

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy is a network between a client and the cluster that can be cut.
type Proxy struct {
	DSN string // leads through it

	mu    sync.Mutex
	conns []net.Conn
	text  []byte
	act   func()
}

// NewProxy puts a network on the way to dsn, a URL with host and port.
func NewProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	u.Host = listener.Addr().String()
	p := &Proxy{DSN: u.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			p.join(client, server)
		}
	}()
	return p
}

func (p *Proxy) join(client, server net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	go func() { _, _ = io.Copy(client, server); client.Close() }()
	go func() { _, _ = io.Copy(server, &watched{client, p}); server.Close() }()
}

// When calls act before the first statement that contains text is passed on.
func (p *Proxy) When(text string, act func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.act = []byte(text), act
}

// Cut ends every connection through it; later ones go through again.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// watched is what a client sends.
type watched struct {
	io.Reader
	p *Proxy
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.p.mu.Lock()
	var act func()
	if w.p.act != nil && bytes.Contains(b[:n], w.p.text) {
		act, w.p.act = w.p.act, nil
	}
	w.p.mu.Unlock()
	if act != nil {
		act()
	}
	return n, err
}
