"""What training learns from: the export, snapshots at observation points, and labels."""
