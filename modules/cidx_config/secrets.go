package config

import "regexp"

// secretName matches keys whose values are never shown.
var secretName = regexp.MustCompile(`(?i)password|passwd|secret|token|api_?key|private|credential|_dsn$`)
