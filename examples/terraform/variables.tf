variable "url" {
  description = "The public listener of the proxy"
  type        = string
  default     = "http://127.0.0.1:8080"
}

variable "token" {
  description = "The bearer token; TF_VAR_token keeps it out of files and arguments"
  type        = string
  sensitive   = true
}

variable "tenant" {
  type    = string
  default = "dev"
}

variable "workspace" {
  description = "The workspace that is made, with all that is in it"
  type        = string
  default     = "shop"
}

variable "region" {
  type    = string
  default = "fsn1"
}

variable "zone" {
  description = "Where in the region the instance runs"
  type        = string
  default     = "fsn1"
}

variable "sku" {
  description = "The size of the instance"
  type        = string
  default     = "cx23"
}

variable "ssh_key_file" {
  description = "The public key that may log in"
  type        = string
  default     = "~/.ssh/id_ed25519.pub"
}

variable "ssh_from" {
  description = "The address, or the block, that may reach the guest by SSH"
  type        = string
  default     = "203.0.113.7"
}
