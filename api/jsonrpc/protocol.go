package jsonrpc

// protocolVersion is the version of the published protocol that is served (spec 12.1).
const protocolVersion = "1.0"
