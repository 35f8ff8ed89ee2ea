package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

func newAuthority(t *testing.T, name string) authority {
	key := newKey(t)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return authority{c, key}
}

// issue returns a certificate and its key as PEM.
func (a authority) issue(t *testing.T, serial int64, c *x509.Certificate) (certificate, key string) {
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(serial), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	secret := newKey(t)
	raw, err := x509.CreateCertificate(rand.Reader, c, a.certificate, &secret.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("CERTIFICATE", raw), pemOf("PRIVATE KEY", der)
}

// revoke returns a list of revoked serials as PEM.
func (a authority) revoke(t *testing.T, serials ...int64) string {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now().Add(-time.Minute)})
	}
	raw, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("X509 CRL", raw)
}

// withTLS switches TLS of the tests' cluster on until the test ends.
func withTLS(t *testing.T, ca authority) {
	dir := pgtest.Socket(t)
	certificate, key := ca.issue(t, 2, &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{}})
	for name, text := range map[string]string{"server.crt": certificate, "server.key": key} {
		path := write(t, filepath.Join(dir, name), text)
		if out, err := exec.Command("chown", "--reference="+dir, path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	admin := pgtest.DSN(t, "postgres")
	pgtest.Exec(t, admin, "ALTER SYSTEM SET ssl_cert_file = '"+dir+"/server.crt'", "ALTER SYSTEM SET ssl_key_file = '"+dir+"/server.key'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	t.Cleanup(func() { pgtest.Exec(t, admin, "ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()") })
	for range 100 { // the reload takes a moment
		if out, _ := psql(strings.Replace(admin, "sslmode=disable", "sslmode=require", 1), "SELECT 1"); out == "1" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the server takes no TLS")
}

// TestTLSIsAsStrictAsLibpqs compares what is taken and what is refused.
func TestTLSIsAsStrictAsLibpqs(t *testing.T) {
	home := clean(t)
	whole := pgtest.Database(t)
	ca, stranger := newAuthority(t, "ours"), newAuthority(t, "a stranger's")
	withTLS(t, ca)
	dir := t.TempDir()
	root := write(t, filepath.Join(dir, "root.crt"), pemOf("CERTIFICATE", ca.certificate.Raw))
	foreign := write(t, filepath.Join(dir, "foreign.crt"), pemOf("CERTIFICATE", stranger.certificate.Raw))
	revoked := write(t, filepath.Join(dir, "revoked.crl"), ca.revoke(t, 2))
	current := write(t, filepath.Join(dir, "current.crl"), ca.revoke(t, 77))
	certificate, key := ca.issue(t, 3, &x509.Certificate{Subject: pkix.Name{CommonName: "admin"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	mine, secret := write(t, filepath.Join(dir, "mine.crt"), certificate), write(t, filepath.Join(dir, "mine.key"), key)
	base := strings.TrimSuffix(whole, "disable")
	local := strings.Replace(base, "127.0.0.1", "localhost", 1)
	for name, c := range map[string]struct {
		dsn   string
		taken bool
	}{
		"no TLS":                             {base + "disable", true},
		"TLS if there is":                    {base + "prefer", true},
		"TLS is required":                    {base + "require", true},
		"required, with our root":            {base + "require&sslrootcert=" + root, true},
		"required, with another root":        {base + "require&sslrootcert=" + foreign, false},
		"required, with a root that is gone": {base + "require&sslrootcert=" + dir + "/none", true},
		"preferred, with another root":       {base + "prefer&sslrootcert=" + foreign, true},
		"verify-ca":                          {base + "verify-ca&sslrootcert=" + root, true},
		"verify-ca, another root":            {base + "verify-ca&sslrootcert=" + foreign, false},
		"verify-ca, no root":                 {base + "verify-ca", false},
		"verify-ca, a root that is gone":     {base + "verify-ca&sslrootcert=" + dir + "/none", false},
		"verify-full by name":                {local + "verify-full&sslrootcert=" + root, true},
		"verify-full by another name":        {base + "verify-full&sslrootcert=" + root, false},
		"verify-full, name and address":      {base + "verify-full&host=localhost&hostaddr=127.0.0.1&sslrootcert=" + root, true},
		"a list of revoked certificates":     {base + "verify-ca&sslrootcert=" + root + "&sslcrl=" + current, true},
		"a revoked certificate":              {base + "verify-ca&sslrootcert=" + root + "&sslcrl=" + revoked, false},
		"our certificate":                    {base + "require&sslcert=" + mine + "&sslkey=" + secret, true},
		"our certificate is gone":            {base + "require&sslcert=" + dir + "/none&sslkey=" + secret, true},
		"channel binding":                    {base + "require&channel_binding=require", true},
		"the newest TLS only":                {base + "require&ssl_min_protocol_version=TLSv1.3", true},
		"TLS 1.2 at most":                    {base + "require&ssl_max_protocol_version=TLSv1.2", true},
		"a minimum above the maximum":        {base + "require&ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", false},
		"no server name is sent":             {local + "require&sslsni=0", true},
		"JDBC's spelling":                    {strings.TrimSuffix(base, "sslmode=") + "ssl=true", true},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := psql(c.dsn, "SELECT 1"); (err == nil) != c.taken {
				t.Errorf("libpq itself: %s", out)
			}
			_, err := ours(t, c.dsn)
			var p problem.Problem
			if c.taken && err != nil || !c.taken && (!errors.As(err, &p) || p.Fix == "") {
				t.Errorf("got %v, want it taken: %v", err, c.taken)
			}
		})
	}
	t.Run("the user's own root certificate", func(t *testing.T) {
		if err := os.Mkdir(filepath.Join(home, ".postgresql"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(home, ".postgresql/root.crt"), pemOf("CERTIFICATE", stranger.certificate.Raw))
		for dsn, taken := range map[string]bool{base + "require": false, base + "prefer": true, base + "disable": true} {
			conn, err := Connect(context.Background(), dsn, "test")
			if err == nil {
				conn.Close(context.Background())
			}
			if _, its := psql(dsn, "SELECT 1"); (err == nil) != taken || (its == nil) != taken {
				t.Errorf("%s: %v, libpq %v", dsn[strings.LastIndex(dsn, "?"):], err, its)
			}
		}
	})
}
