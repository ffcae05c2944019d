// Package config reads the configuration of a backup server: where the repository is, and what is pulled from where
// (docs/config.md).
//
// It is one YAML file, or a folder whose *.yaml files are taken together. It is read strictly: what is not known is an
// error that names file and line, and what may have been meant. No shell runs what stands in it, but for password_command.
package config
