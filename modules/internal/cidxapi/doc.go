// Package cidxapi talks to a CIDX server over HTTP: is it up, who am I, which
// repositories does it have, does a search find what is known to be there.
//
// It speaks what CIDX 11.79 answers, and probes for what older releases lack
// (the anonymous /healthz came with 11.65). It only asks: no call changes a
// setting, a repository or a job. Credentials and tokens are registered with
// the context's secret keeper, are never part of an error, and are never sent
// to another host: redirects that leave the server are refused, and proxies of
// the environment are not used.
//
// Start with Find for the address and New for a Client; every method takes a
// context, is bounded by Options.Timeout per request, and may be called from
// several goroutines at once.
package cidxapi
