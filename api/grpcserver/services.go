package grpcserver

import (
	"slices"
	"strings"

	"google.golang.org/grpc"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// services are all that a [Server] and a [Web] serve. One [handler] implements them all.
var services = []service{
	{&pb.Taskgrove_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterTaskgroveServer(to, h) }},
	{&pb.NamespaceService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterNamespaceServiceServer(to, h) }},
	{&pb.KeyService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterKeyServiceServer(to, h) }},
	{&pb.AccessService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterAccessServiceServer(to, h) }},
	{&pb.AuditService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterAuditServiceServer(to, h) }},
	{&pb.PoolService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterPoolServiceServer(to, h) }},
	{&pb.LimitService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterLimitServiceServer(to, h) }},
	{&pb.ScheduleService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterScheduleServiceServer(to, h) }},
	{&pb.FlowService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterFlowServiceServer(to, h) }},
	{&pb.KeepingService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterKeepingServiceServer(to, h) }},
	{&pb.DoctorService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterDoctorServiceServer(to, h) }},
	{&pb.SealService_ServiceDesc, func(to grpc.ServiceRegistrar, h *handler) { pb.RegisterSealServiceServer(to, h) }},
}

// service is one of them: a file of proto has one.
type service struct {
	desc     *grpc.ServiceDesc
	register func(grpc.ServiceRegistrar, *handler)
}

// path is what the paths of its calls begin with.
func (s service) path() string { return "/" + s.desc.ServiceName + "/" }

// register registers all services.
func register(to grpc.ServiceRegistrar, h *handler) {
	for _, s := range services {
		s.register(to, h)
	}
}

// WebPaths are where a [Web] is to be mounted.
func WebPaths() (paths []string) {
	for _, s := range services {
		paths = append(paths, s.path())
	}
	return paths
}

// unaryCall reports whether a path is that of a call with one answer.
func unaryCall(path string) bool {
	return slices.ContainsFunc(services, func(s service) bool {
		name, mine := strings.CutPrefix(path, s.path())
		return mine && slices.ContainsFunc(s.desc.Methods, func(m grpc.MethodDesc) bool { return m.MethodName == name })
	})
}
