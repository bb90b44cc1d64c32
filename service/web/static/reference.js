// The API reference: Swagger UI on the service's own OpenAPI document. No host but this one is asked.
SwaggerUIBundle({
  dom_id: "#reference",
  url: "openapi.json",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
