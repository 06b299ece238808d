package grpccall

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// opaque is the type of messages that nobody can describe. They look like a BytesValue that holds the whole message, so that in JSON an Any
// keeps them as {"@type": "…", "value": "base64"}.
type opaque struct{}

var bytesType = (&wrapperspb.BytesValue{}).ProtoReflect().Type()

// New implements [protoreflect.MessageType].
func (opaque) New() protoreflect.Message { return opaqueMessage{bytesType.New()} }

// Zero implements [protoreflect.MessageType].
func (opaque) Zero() protoreflect.Message { return opaqueMessage{bytesType.Zero()} }

// Descriptor implements [protoreflect.MessageType].
func (opaque) Descriptor() protoreflect.MessageDescriptor { return bytesType.Descriptor() }

type opaqueMessage struct{ protoreflect.Message }

// ProtoReflect implements [protoreflect.ProtoMessage].
func (m opaqueMessage) ProtoReflect() protoreflect.Message { return m }

// Interface implements [protoreflect.Message].
func (m opaqueMessage) Interface() protoreflect.ProtoMessage { return m }

// ProtoMethods takes the bytes as they are.
func (m opaqueMessage) ProtoMethods() *protoiface.Methods {
	return &protoiface.Methods{Unmarshal: func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		field := m.Descriptor().Fields().ByName("value")
		m.Set(field, protoreflect.ValueOfBytes(append([]byte{}, in.Buf...)))
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	}}
}
