package postgres

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/libpq"
	"cidx-cluster/modules/internal/problem"
)

var versions = map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11,
	"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// roots refuses what libpq refuses: verifying without a root certificate.
func roots(s libpq.Settings, t libpq.Target) error {
	if t.Socket() || !strings.HasPrefix(s["sslmode"], "verify-") || s["sslrootcert"] != "" {
		return nil
	}
	return problem.Problem{What: "sslmode=" + s["sslmode"] + ": there is no root certificate", At: "postgres_dsn",
		Fix: "name it in sslrootcert, or put it at ~/.postgresql/root.crt of the server's user; " +
			"sslrootcert=system takes the system's"}
}

// secure adds what pgconn leaves out: bounds of the TLS version, and lists of
// revoked certificates.
func secure(config *pgconn.Config, s libpq.Settings) error {
	revoked, err := revocations(s)
	if err != nil {
		return err
	}
	all := []*tls.Config{config.TLSConfig}
	for _, f := range config.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	for _, c := range all {
		if c == nil {
			continue
		}
		c.MinVersion, c.MaxVersion = versions[s["ssl_min_protocol_version"]], versions[s["ssl_max_protocol_version"]]
		if len(revoked) > 0 {
			c.VerifyConnection = func(state tls.ConnectionState) error { return unrevoked(state.PeerCertificates, revoked) }
		}
	}
	return nil
}

// revocations reads sslcrl, or the files of sslcrldir.
func revocations(s libpq.Settings) ([]*x509.RevocationList, error) {
	var files []string
	if s["sslcrl"] != "" {
		files = append(files, s["sslcrl"])
	}
	if dir := s["sslcrldir"]; dir != "" {
		found, _ := filepath.Glob(filepath.Join(dir, "*.r[0-9]*")) // the pattern is well-formed
		files = append(files, found...)
	}
	var lists []*x509.RevocationList
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, problem.Problem{What: "list of revoked certificates: " + err.Error(), At: file,
				Fix: "make it readable for the server's user, or correct sslcrl in postgres_dsn"}
		}
		for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
			list, err := x509.ParseRevocationList(block.Bytes)
			if err != nil {
				return nil, problem.Problem{What: "not a list of revoked certificates: " + err.Error(), At: file,
					Fix: "correct sslcrl in postgres_dsn"}
			}
			lists = append(lists, list)
		}
	}
	return lists, nil
}

// unrevoked refuses a chain with a certificate that its issuer has revoked.
func unrevoked(chain []*x509.Certificate, lists []*x509.RevocationList) error {
	for _, certificate := range chain {
		for _, list := range lists {
			if !bytes.Equal(list.RawIssuer, certificate.RawIssuer) {
				continue
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
					return fmt.Errorf("certificate %s: %w", certificate.SerialNumber, errRevoked)
				}
			}
		}
	}
	return nil
}

var errRevoked = errors.New("its issuer has revoked it")
