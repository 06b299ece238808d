package main

import "github.com/spf13/cobra"

func clientCommands() []*cobra.Command { return nil }
