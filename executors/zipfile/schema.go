package zipfile

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

// setupFields are the inputs of both that say how archives are made.
const setupFields = `
    "password": {"type": ["string", "null"], "description": "Encrypts by AES, or opens what is encrypted. Use {\"secret\": \"name\"}"},
    "driver": {"type": ["string", "null"], "description": "zipfile: nothing is encrypted. pyzipper, or aes: AES. By default it is AES if there is a password. external: programs, where the worker allows commands. os: zip and unzip, there as well; they encrypt nothing. pyminizip is refused: it makes the old ZipCrypto, which protects nothing"},
    "encryption": {"type": ["string", "null"], "description": "aes: there is no other"},
    "aes_strength": {"type": ["integer", "null"], "enum": [128, 192, 256, null], "default": 256, "description": "Bits of the key that encrypts"},
    "zip_cmd": {"type": ["array", "string", "null"], "items": {"type": "string"}, "description": "Of the driver external: the program that packs, and its arguments, with {archive}, {files} or {base_dir}, and {password}. Of the driver os: a program that takes the arguments of zip"},
    "unzip_cmd": {"type": ["array", "string", "null"], "items": {"type": "string"}, "description": "Of the driver external: the program that unpacks, and its arguments, with {archive}, {dest} and {password}. Of the driver os: a program that takes the arguments of unzip"},
    "quiet": {"type": ["boolean", "string", "null"], "default": true, "description": "Of the driver os: the programs get -q"},`

var zipInputs = json.RawMessage(`{
  "type": "object",
  "properties": {
    "dest_path": {"type": "string", "description": "The zip file to make"},
    "items": {"type": ["array", "string", "object"], "items": {"type": ["string", "object"]}, "description": "What is packed: paths of files and directories, patterns with * ? [a-z] and ** for any directories, {\"path\": …}, {\"glob\": …}, or artifacts; relative ones are below src_dir. Or the JSON of such a list as a text"},
    "src_dir": {"type": ["string", "null"], "default": ".", "description": "The directory that names in the archive are relative to"},
    "recursive": {"type": ["boolean", "string", "null"], "default": true, "description": "Of a directory all files are packed; false: only those that lie in it itself"},
    "overwrite": {"type": ["boolean", "string", "null"], "default": true, "description": "Replace a file at dest_path"},` + setupFields + `
    "compression": {"type": ["string", "null"], "default": "deflated", "description": "deflated, or stored: as it is"}
  },
  "required": ["dest_path", "items"]
}`)

var zipOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "output": {"type": "string", "description": "The zip file; empty if there was nothing to pack"},
    "count": {"type": "integer", "description": "How many files are in it"},
    "password": {"type": "boolean", "description": "It is encrypted"},
    "driver": {"type": "string", "description": "What made it: zipfile, pyzipper, external or os"},
    "src_dir": {"type": "string", "description": "The directory that its names are relative to"},
    "skipped": {"type": "boolean", "description": "Present and true when there was nothing to pack"},
    "reason": {"type": "string", "description": "Then: no_files"}
  },
  "required": ["output", "count", "password", "driver", "src_dir"]
}`)

var unzipInputs = json.RawMessage(`{
  "type": "object",
  "properties": {
    "archives": {"type": ["array", "string", "object"], "items": {"type": ["string", "object"]}, "description": "Paths of zip files, or artifacts; relative paths are below src_dir. Or the JSON of such a list as a text"},
    "dest_dir": {"type": "string", "description": "Where the files go"},
    "src_dir": {"type": ["string", "null"], "default": ".", "description": "An archive below it is unpacked below dest_dir in the same directory; one that lies elsewhere in a directory of its name"},
    "overwrite": {"type": ["boolean", "string", "null"], "default": true, "description": "Replace files that exist. Without it, they are an error unless they have the same content"},
    "members": {"type": ["array", "string", "null"], "items": {"type": "string"}, "description": "Which files to unpack: names in the archive, or patterns; by default all"},
    "private_zip_folder": {"type": ["boolean", "string", "null"], "default": false, "description": "Each archive gets a directory of its name"},` + setupFields + `
    "max_files": {"type": ["integer", "string", "null"], "default": 10000, "description": "How many files and directories the archives may hold together"},
    "max_bytes": {"type": ["integer", "string", "null"], "default": 1073741824, "description": "How many bytes they may unpack to together"},
    "max_ratio": {"type": ["integer", "string", "null"], "default": 200, "description": "How many times as large as the archive its files may be together, beyond a MiB"}
  },
  "required": ["archives", "dest_dir"]
}`)

var unzipOutput = json.RawMessage(`{
  "type": "object",
  "properties": {
    "unzipped": {"type": "array", "items": {"type": "string"}, "description": "The archives, in order"},
    "dest_dir": {"type": "string", "description": "Where the files are"},
    "count": {"type": "integer", "description": "How many files were unpacked"}
  },
  "required": ["unzipped", "dest_dir", "count"]
}`)

var zipExamples = []executors.Example{
	{Title: "Pack what an earlier step left", Inputs: json.RawMessage(`{"dest_path": "reports.zip", "items": ["reports/*.csv", "summary.txt"]}`)},
	{Title: "Encrypt the archive", Inputs: json.RawMessage(`{"dest_path": "out/private.zip", "items": [{"glob": "**/*.pdf"}], "password": {"secret": "zip_password"}}`)},
}

var unzipExamples = []executors.Example{
	{Title: "Unpack what was downloaded", Inputs: json.RawMessage(`{"archives": ["in/a.zip", "in/b.zip"], "dest_dir": "data", "private_zip_folder": true}`)},
	{Title: "Take one file of an encrypted archive", Inputs: json.RawMessage(`{"archives": "in/private.zip", "dest_dir": "data", "members": ["2026/report.pdf"], "password": {"secret": "zip_password"}}`)},
}
