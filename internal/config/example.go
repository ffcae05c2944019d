package config

import _ "embed"

// Example is a commented configuration.
//
//go:embed example.yaml
var Example string
