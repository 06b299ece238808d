// Package file works with files below a directory that the operator has named, and with objects of S3-compatible stores: it copies, moves,
// deletes, lists, sums, reads, writes, packs and unpacks them.
//
// It owns file_executor, which is our own: where tasks may go, how a file gets into its place whole or not at all, and what is left when an
// attempt ends early, which is nothing. It must not know what is in a file, or where a connection's keys come from.
//
// Files are reached through [os.Root] alone, so that neither a name nor a symbolic link leads out, whoever changes links meanwhile. Content
// streams: an attempt holds a part of a file in memory, however large it is.
package file
