package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// ratesFile describes the service of rates, as this file would:
//
//	syntax = "proto3";
//	package showcase;
//	import "google/protobuf/struct.proto";
//	service Rates { rpc Latest(google.protobuf.ListValue) returns (google.protobuf.Struct); }
var ratesFile = &descriptorpb.FileDescriptorProto{
	Name: proto.String("showcase/rates.proto"), Package: proto.String("showcase"), Syntax: proto.String("proto3"),
	Dependency: []string{"google/protobuf/struct.proto"},
	Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Rates"), Method: []*descriptorpb.MethodDescriptorProto{{
		Name: proto.String("Latest"), InputType: proto.String(".google.protobuf.ListValue"), OutputType: proto.String(".google.protobuf.Struct"),
	}}}},
}

// perEuro is what a euro costs.
var perEuro = map[string]float64{"USD": 1.25, "GBP": 0.85}

// startRates starts a gRPC server, with reflection, that tells what a euro costs in each currency that it is asked for.
func (s *services) startRates() error {
	described := new(protoregistry.Files)
	structs, err := protoregistry.GlobalFiles.FindFileByPath("google/protobuf/struct.proto")
	if err != nil {
		return err
	}
	file, err := protodesc.NewFile(ratesFile, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	if err := errors.Join(described.RegisterFile(structs), described.RegisterFile(file)); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.ratesAddr, s.rates = l.Addr().String(), grpc.NewServer()
	s.rates.RegisterService(&grpc.ServiceDesc{ServiceName: "showcase.Rates", HandlerType: (*any)(nil), Metadata: ratesFile.GetName(),
		Methods: []grpc.MethodDesc{{MethodName: "Latest", Handler: s.latest}}}, s)
	reflected := reflection.NewServerV1(reflection.ServerOptions{Services: s.rates, DescriptorResolver: described})
	reflectionv1.RegisterServerReflectionServer(s.rates, reflected)
	go func() { _ = s.rates.Serve(l) }() // ends with stop
	return nil
}

func (s *services) latest(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if got := metadata.ValueFromIncomingContext(ctx, "authorization"); fmt.Sprint(got) != "[Bearer "+s.token+"]" {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	}
	var asked structpb.ListValue
	if err := decode(&asked); err != nil {
		return nil, err
	}
	answer := object{}
	for _, currency := range asked.AsSlice() {
		rate, known := perEuro[fmt.Sprint(currency)]
		if !known {
			return nil, status.Errorf(codes.NotFound, "there is no rate for %v", currency)
		}
		answer[fmt.Sprint(currency)] = rate
	}
	return structpb.NewStruct(answer)
}
