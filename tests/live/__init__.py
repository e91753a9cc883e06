"""What stands around the stages that give the running service to other programs: the service, and a tracker."""
