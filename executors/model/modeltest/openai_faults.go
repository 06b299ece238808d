package modeltest

import "fmt"

func (openAI) fault(r *Request, f Fault) *failure {
	model := ""
	if r != nil {
		model = r.Model
	}
	const sorry = " (Please include the request ID in your message.)"
	switch f {
	case FaultRate:
		return &failure{status: 429, kind: "tokens", code: "rate_limit_exceeded", message: "Rate limit reached for " + model + " in organization modeltest on tokens per " +
			"min (TPM): Limit 30000, Used 29530, Requested 1480. Please try again in 2.02s. Visit https://platform.openai.com/account/rate-limits to learn more."}
	case FaultQuota:
		return &failure{status: 429, kind: "insufficient_quota", code: "insufficient_quota", message: "You exceeded your current quota, please check your plan and " +
			"billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."}
	case FaultOverloaded:
		return &failure{status: 503, kind: "server_error", message: "That model is currently overloaded with other requests. You can retry your request, or contact us " +
			"through our help center at help.openai.com if the error persists." + sorry}
	case FaultUnavailable:
		return &failure{status: 503, kind: "server_error", message: "The server is currently unavailable, please try again later."}
	case FaultGateway:
		return &failure{status: 502, html: true, message: gatewayPage}
	case FaultTimeout:
		return &failure{status: 504, kind: "server_error", message: "The request has timed out."}
	case FaultKey:
		return &failure{status: 401, kind: "invalid_request_error", code: "invalid_api_key", message: "Incorrect API key provided: " + keyPlace +
			". You can find your API key at https://platform.openai.com/account/api-keys."}
	case FaultPermission:
		return &failure{status: 403, kind: "invalid_request_error", code: "unsupported_country_region_territory", message: "Country, region, or territory not supported"}
	case FaultModel:
		return &failure{status: 404, kind: "invalid_request_error", code: "model_not_found",
			message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model)}
	case FaultContext:
		return &failure{status: 400, kind: "invalid_request_error", param: "messages", code: "context_length_exceeded", message: "This model's maximum context length is " +
			"128000 tokens. However, your messages resulted in 141203 tokens. Please reduce the length of the messages."}
	case FaultPolicy:
		return &failure{status: 400, kind: "invalid_request_error", code: "content_policy_violation", message: "Your request was rejected as a result of our safety system."}
	case FaultTooLarge:
		return &failure{status: 413, kind: "invalid_request_error", message: "Request body too large."}
	}
	return &failure{status: 500, kind: "server_error", message: "The server had an error processing your request. Sorry about that! You can retry your request, or " +
		"contact us through our help center at help.openai.com if you keep seeing this error." + sorry}
}

// gatewayPage is what a gateway before a service answers.
const gatewayPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"

func (anthropic) fault(r *Request, f Fault) *failure {
	model := ""
	if r != nil {
		model = r.Model
	}
	switch f {
	case FaultRate:
		return &failure{status: 429, kind: "rate_limit_error", message: "This request would exceed your organization's rate limit of 40,000 input tokens per minute. For details, " +
			"refer to: https://docs.anthropic.com/en/api/rate-limits. You can see the response headers for current usage. Please reduce the prompt length or the maximum " +
			"tokens requested, or try again later."}
	case FaultQuota:
		return &failure{status: 400, kind: "invalid_request_error", message: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to " +
			"upgrade or purchase credits."}
	case FaultOverloaded:
		return &failure{status: 529, kind: "overloaded_error", message: "Overloaded"}
	case FaultUnavailable:
		return &failure{status: 503, kind: "api_error", message: "Service Unavailable"}
	case FaultGateway:
		return &failure{status: 502, html: true, message: gatewayPage}
	case FaultTimeout:
		return &failure{status: 504, kind: "timeout_error", message: "Request timed out"}
	case FaultKey:
		return &failure{status: 401, kind: "authentication_error", message: "invalid x-api-key"}
	case FaultPermission:
		return &failure{status: 403, kind: "permission_error", message: "Your API key does not have permission to use the specified resource."}
	case FaultModel:
		return &failure{status: 404, kind: "not_found_error", message: "model: " + model}
	case FaultContext:
		return invalid("prompt is too long: 212034 tokens > 200000 maximum")
	case FaultPolicy:
		return invalid("Output blocked by content filtering policy")
	case FaultTooLarge:
		return &failure{status: 413, kind: "request_too_large", message: "Request exceeds the maximum size"}
	}
	return &failure{status: 500, kind: "api_error", message: "Internal server error"}
}

// invalid is Anthropic's error about a request.
func invalid(format string, args ...any) *failure {
	return &failure{status: 400, kind: "invalid_request_error", message: fmt.Sprintf(format, args...)}
}
